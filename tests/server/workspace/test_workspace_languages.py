"""A small workspace in each language: what is defined in one file, and what the other one refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lacuna_server.syntax.grammars import GRAMMARS, grammar_for, loaded
from lacuna_server.workspace import Place, Why, WorkspaceIndex, related
from lacuna_server.workspace.definitions import definitions

CURSOR = "‸"


@dataclass(frozen=True)
class Case:
    """`defining` is the file at `path`. `expected` are its definitions; `type_text` is how its type is shown.

    `using` is another file with a cursor, and `related` what it refers to, with reasons.
    """

    path: str
    defining: str
    expected: list[str]
    type_text: str
    using_path: str
    using: str
    related: dict[str, Why] = field(default_factory=dict)


CASES = [
    Case(
        "shop/models.py",
        '''
LIMIT: int = 3


@dataclass
class Order(Base):
    """An order.

    More."""

    number: int
    _hidden: str = ""

    def __init__(self, number: int) -> None:
        self.paid = False

    @property
    def total(self) -> int:
        return 1

    def pay(
        self, amount: int
    ) -> bool:
        """Pays."""
        def local(): pass
        return True


async def load(number: int) -> Order: return Order(number)
''',
        ["constant LIMIT", "class Order", "method Order.__init__", "method Order.total", "method Order.pay",
         "function load"],
        '''@dataclass
class Order(Base):
    """An order."""
    number: int
    def __init__(self, number: int) -> None: ...
    self.paid = False
    @property
    def total(self) -> int: ...
    def pay( self, amount: int ) -> bool: ...''',
        "shop/service.py",
        """
from shop import models
from .models import Order, load as fetch


class Service:
    last: Order

    def run(self, number: int):
        if number > models.LIMIT:
            self.last.
            order = fetch(‸
""",
        {"load": Why.ON_LINE, "LIMIT": Why.IN_FUNCTION, "Order": Why.RECEIVER},
    ),
    Case(
        "src/models.js",
        """
// Up to here.
export const LIMIT = 3;
export const load = async (number) => { return number; };

/** An order. */
export class Order extends Base {
  paid = false;
  constructor(number) { super(); }
  pay(amount) { const inner = () => 1; return inner(); }
}
""",
        ["constant LIMIT", "function load", "class Order", "method Order.constructor", "method Order.pay"],
        """/** An order. */
export class Order extends Base {
    paid = false;
    constructor(number);
    pay(amount);
}""",
        "src/service.js",
        """
import { Order, load as fetch } from "./models.js";
import * as models from "./models";

export function run(number) {
  const order = new Order(models.LIMIT);
  order.pay(fetch(‸
}
""",
        {"load": Why.ON_LINE, "Order": Why.RECEIVER, "LIMIT": Why.IN_FUNCTION},
    ),
    Case(
        "src/models.ts",
        """
export interface Order {
  number: number;
  pay(amount: number): boolean;
}
export type Amount = number | string;
export enum Colour { Red, Green = "g" }
export abstract class Store<T> {
  private hidden = 1;
  readonly name: string = "x";
  abstract find(number: number): T;
}
export function load(number: number): Promise<Order> { throw 1; }
""",
        ["class Order", "method Order.pay", "class Amount", "class Colour", "class Store", "method Store.find",
         "function load"],
        """export interface Order {
    number: number;
    pay(amount: number): boolean;
}""",
        "src/view/service.tsx",
        """
import { type Order, load, Store } from "../models";

class Service extends Store<Order> {
  async run(order: Order): Promise<void> {
    load(1);
    if (order.‸
""",
        {"Order": Why.RECEIVER, "Store": Why.RECEIVER, "load": Why.IN_FUNCTION},
    ),
    Case(
        "internal/models/order.go",
        """
package models

// Limit says how many.
const Limit = 3

// Order is an order.
type Order struct {
	Number int
	paid   bool
}

type Payer interface {
	Pay(amount int) error
}

// Pay pays.
func (o *Order) Pay(amount int) error {
	return nil
}

func Load(number int) (*Order, error) { return nil, nil }
""",
        ["constant Limit", "class Order", "class Payer", "method Order.Pay", "function Load"],
        """// Order is an order.
type Order struct {
    Number int
    paid bool
    func (o *Order) Pay(amount int) error;
}""",
        "cmd/main.go",
        """
package main

import (
	"fmt"
	"example.com/shop/internal/models"
)

func run(order *models.Order) error {
	fmt.Println(models.Limit)
	order.Pay(1)
	other, err := models.Load(‸
""",
        {"Load": Why.ON_LINE, "Order": Why.RECEIVER, "Limit": Why.IN_FUNCTION},
    ),
    Case(
        "src/models.rs",
        """
pub const LIMIT: u32 = 3;

/// An order.
#[derive(Debug)]
pub struct Order {
    pub number: u32,
}

pub enum Colour { Red, Green(u8) }

pub trait Payer { fn pay(&self, amount: u32) -> bool; }

impl Order {
    pub fn new(number: u32) -> Self { Order { number } }
}

pub fn load(number: u32) -> Option<Order> { None }
""",
        ["constant LIMIT", "class Order", "class Colour", "class Payer", "method Payer.pay", "method Order.new",
         "function load"],
        """/// An order.
#[derive(Debug)]
pub struct Order {
    pub number: u32,
    pub fn new(number: u32) -> Self;
}""",
        "src/service.rs",
        """
use crate::models::{load as fetch, Order};
use crate::models;

fn run(order: &Order) -> bool {
    if order.number > models::LIMIT { return false; }
    let other = fetch(‸
""",
        {"load": Why.ON_LINE, "LIMIT": Why.IN_FUNCTION, "Order": Why.RECEIVER},
    ),
    Case(
        "src/com/shop/models/Order.java",
        """
package com.shop.models;

/** An order. */
@Entity
public class Order extends Base {
    private int hidden;
    public final int number;
    public Order(int number) { this.number = number; }
    /** Pays. */
    public boolean pay(int amount) { return true; }
}
""",
        ["class Order", "method Order.Order", "method Order.pay"],
        """/** An order. */
@Entity
public class Order extends Base {
    public final int number;
    public Order(int number);
    public boolean pay(int amount);
}""",
        "src/com/shop/Service.java",
        """
package com.shop;

import com.shop.models.Order;
import java.util.List;

public class Service {
    private List<Order> orders;

    void run(Order order) {
        order.pay(‸
""",
        {"Order": Why.RECEIVER},
    ),
    Case(
        "include/order.h",
        """
#ifndef ORDER_H
#define ORDER_LIMIT 3
typedef struct order {
    int number;
} order_t;
enum colour { RED, GREEN };
/* Loads an order. */
order_t *order_load(int number);
static inline int order_paid(const order_t *order) { return 1; }
#endif
""",
        ["constant ORDER_LIMIT", "class order_t", "class order", "class colour", "function order_load",
         "function order_paid"],
        """typedef struct order {
    int number;
} order_t;""",
        "src/main.c",
        """
#include <stdio.h>
#include "order.h"

int run(order_t *order) {
    if (order->number > ORDER_LIMIT) return 1;
    order_load(‸
""",
        {"order_load": Why.ON_LINE, "ORDER_LIMIT": Why.IN_FUNCTION, "order_t": Why.RECEIVER},
    ),
    Case(
        "include/order.hpp",
        """
namespace shop {
/// An order.
class Order : public Base {
public:
    explicit Order(int number);
    bool pay(int amount) { return true; }
    const Name& name() const;
    int number = 0;
};
template <typename T>
T load(int number) { return T(number); }
using Orders = std::vector<Order>;
}
""",
        ["class Order", "method Order.Order", "method Order.pay", "method Order.name", "function load",
         "class Orders"],
        """/// An order.
class Order : public Base {
    explicit Order(int number);
    bool pay(int amount);
    const Name& name() const;
    int number = 0;
}""",
        "src/main.cpp",
        """
#include "order.hpp"

bool run(shop::Order& order) {
    order.pay(1);
    auto other = load<‸
""",
        {"load": Why.ON_LINE, "Order": Why.RECEIVER},
    ),
    Case(
        "Models/Order.cs",
        """
namespace Shop.Models;

/// <summary>An order.</summary>
public class Order : Base
{
    public int Number { get; set; }
    public Order(int number) { }
    public bool Pay(int amount) => true;
}
public enum Colour { Red, Green }
public interface IPayer { bool Pay(int amount); }
""",
        ["class Order", "method Order.Order", "method Order.Pay", "class Colour", "class IPayer", "method IPayer.Pay"],
        """/// <summary>An order.</summary>
public class Order : Base {
    public int Number { get; set; }
    public Order(int number);
    public bool Pay(int amount);
}""",
        "Service.cs",
        """
using Shop.Models;

public class Service
{
    private readonly Order _order;
    public void Run(Order order)
    {
        order.Pay(1);
        if (Colour.‸
""",
        {"Colour": Why.ON_LINE, "Order": Why.RECEIVER},
    ),
    Case(
        "lib/order.rb",
        """
LIMIT = 3

# An order.
class Order < Base
  attr_reader :number

  def initialize(number)
    @number = number
  end

  def pay(amount)
    true
  end

  def self.load(number)
    new(number)
  end
end
""",
        ["constant LIMIT", "class Order", "method Order.initialize", "method Order.pay", "method Order.load"],
        """# An order.
class Order < Base
    attr_reader :number
    def initialize(number)
    def pay(amount)
    def self.load(number)
end""",
        "lib/service.rb",
        """
require_relative "order"

class Service
  def run(number)
    order = Order.new(LIMIT)
    order.pay(‸
""",
        {"Order": Why.RECEIVER, "LIMIT": Why.IN_FUNCTION},
    ),
    Case(
        "src/Models/Order.php",
        """<?php
namespace Shop\\Models;

/** An order. */
final class Order extends Base implements Payer
{
    const LIMIT = 3;
    public int $number = 0;
    private string $hidden = "";
    public function __construct(int $number) { }
    public function pay(int $amount): bool { return true; }
}

function load(int $number): Order { return new Order($number); }
""",
        ["class Order", "method Order.__construct", "method Order.pay", "function load"],
        """/** An order. */
final class Order extends Base implements Payer {
    const LIMIT = 3;
    public int $number = 0;
    public function __construct(int $number);
    public function pay(int $amount): bool;
}""",
        "src/Service.php",
        """<?php
namespace Shop;

use Shop\\Models\\Order;

class Service
{
    public function run(Order $order): bool
    {
        $order->pay(‸
""",
        {"Order": Why.RECEIVER},
    ),
]  # fmt: skip


def named(path: str, text: str) -> list[str]:
    grammar = grammar_for(path)
    assert grammar is not None
    return [
        f"{one.kind} {one.parent + '.' if one.parent else ''}{one.name}" for one in definitions(text, path, grammar)
    ]


def test_every_language_has_its_grammar_and_a_case() -> None:
    assert all(loaded(grammar) is not None for grammar in GRAMMARS)
    tried = {grammar_for(path) for case in CASES for path in (case.path, case.using_path)}
    assert tried == set(GRAMMARS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_definitions(case: Case) -> None:
    assert named(case.path, case.defining) == case.expected
    grammar = grammar_for(case.path)
    assert grammar is not None
    (shown, *_) = [one.signature for one in definitions(case.defining, case.path, grammar) if one.kind == "class"]
    assert shown == case.type_text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_references(case: Case, tmp_path: Path) -> None:
    index = WorkspaceIndex([tmp_path])
    assert index.update((tmp_path / case.path).as_posix(), case.defining)
    before, after = case.using.split(CURSOR)
    place = Place((tmp_path / case.using_path).as_posix(), "", before + after, len(before))
    found = related(place, index)
    assert {one.definition.name: one.why for one in found} == case.related
    assert [one.why for one in found] == sorted((one.why for one in found), key=list(Why).index)

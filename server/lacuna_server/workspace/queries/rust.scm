; definitions
(function_item name: (identifier) @name body: (block) @body) @function
(function_signature_item name: (identifier) @name) @function
(macro_definition name: (identifier) @name) @function
(struct_item name: (type_identifier) @name body: (field_declaration_list) @body) @class
(struct_item name: (type_identifier) @name) @class
(enum_item name: (type_identifier) @name body: (_) @body) @class
(union_item name: (type_identifier) @name body: (_) @body) @class
(trait_item name: (type_identifier) @name body: (_) @body) @class
(type_item name: (type_identifier) @name) @class
(const_item name: (identifier) @name) @constant
(static_item name: (identifier) @name) @constant
(field_declaration name: (_) @name) @field
(enum_variant name: (_) @name) @field
(impl_item type: [
  (type_identifier) @name
  (generic_type type: (type_identifier) @name)
  (scoped_type_identifier name: (_) @name)]) @scope

; imports
(use_declaration argument: (scoped_identifier path: (_) @module name: (_) @name))
(use_declaration argument: (use_as_clause
  path: (scoped_identifier path: (_) @module name: (_) @name) alias: (_) @alias))
(scoped_use_list path: (_) @module list: (use_list (identifier) @name))
(scoped_use_list path: (_) @module list: (use_list (use_as_clause path: (identifier) @name alias: (_) @alias)))
(scoped_use_list path: (_) @module list: (use_list (scoped_identifier path: (_) @inner name: (_) @name)))
(use_declaration argument: (use_wildcard (_) @module)) @all

; references
(identifier) @name
(type_identifier) @name
(field_expression value: (_) @object field: (field_identifier) @member)
(scoped_identifier path: (_) @object name: (_) @member)
(scoped_type_identifier path: (_) @object name: (_) @member)
(parameter pattern: (_) @typed type: (_) @type)
(field_declaration name: (_) @typed type: (_) @type)
(let_declaration pattern: (_) @typed type: (_) @type)
(let_declaration pattern: (identifier) @typed value: (call_expression function: (scoped_identifier path: (_) @type)))
(let_declaration pattern: (identifier) @typed value: (call_expression function: (identifier) @type))
(let_declaration pattern: (identifier) @typed value: (struct_expression name: (_) @type))
(impl_item trait: (_) @base)
(impl_item type: (_) @base)

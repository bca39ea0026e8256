; definitions
(function_declaration name: (_) @name body: (_) @body) @function
(generator_function_declaration name: (_) @name body: (_) @body) @function
(method_definition name: (_) @name body: (_) @body) @function
(class_declaration name: (_) @name body: (_) @body) @class
(program (lexical_declaration (variable_declarator
  name: (identifier) @name value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)])) @function)
(program (export_statement (lexical_declaration (variable_declarator
  name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)])) @function))
(program (lexical_declaration (variable_declarator name: (identifier) @name)) @constant)
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name)) @constant))

; imports
(import_statement (import_clause (identifier) @name) source: (string) @module)
(import_statement (import_clause (named_imports (import_specifier name: (_) @name !alias))) source: (string) @module)
(import_statement (import_clause (named_imports (import_specifier name: (_) @name alias: (_) @alias)))
  source: (string) @module)
(import_statement (import_clause (namespace_import (identifier) @alias)) source: (string) @module)
(variable_declarator name: (identifier) @alias
  value: (call_expression function: (identifier) @_require arguments: (arguments (string) @module))
  (#eq? @_require "require"))
(variable_declarator name: (object_pattern (shorthand_property_identifier_pattern) @name)
  value: (call_expression function: (identifier) @_require arguments: (arguments (string) @module))
  (#eq? @_require "require"))

; references
(identifier) @name
(member_expression object: (_) @object property: (property_identifier) @member)
(variable_declarator name: (identifier) @typed value: (new_expression constructor: (_) @type))
(variable_declarator name: (identifier) @typed value: (await_expression (call_expression function: (_) @type)))
(variable_declarator name: (identifier) @typed value: (call_expression function: (identifier) @type))
(assignment_expression left: (member_expression) @typed right: (new_expression constructor: (_) @type))

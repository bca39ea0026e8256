; definitions
(function_definition name: (identifier) @name body: (block) @body) @function
(class_definition name: (identifier) @name body: (block) @body) @class
(module (expression_statement (assignment left: (identifier) @name) @constant))
(type_alias_statement left: (type) @name) @constant
(class_definition body: (block (expression_statement (assignment left: (identifier) @name) @field)))
(class_definition body: (block (function_definition
  name: (identifier) @_init
  body: (block (expression_statement (assignment left: (attribute attribute: (identifier) @name)) @field))))
  (#eq? @_init "__init__"))

; imports
(import_statement name: (dotted_name) @module)
(import_statement name: (aliased_import name: (dotted_name) @module alias: (identifier) @alias))
(import_from_statement module_name: (_) @module name: (dotted_name) @name)
(import_from_statement module_name: (_) @module
  name: (aliased_import name: (dotted_name) @name alias: (identifier) @alias))
(import_from_statement module_name: (_) @module (wildcard_import)) @all

; references
(identifier) @name
(attribute object: (_) @object attribute: (identifier) @member)
(keyword_argument name: (identifier) @ignored)
(typed_parameter . (identifier) @typed type: (type) @type)
(typed_default_parameter name: (identifier) @typed type: (type) @type)
(assignment left: (_) @typed type: (type) @type)
(assignment left: (_) @typed right: (call function: (_) @type))
(as_pattern (call function: (_) @type) alias: (as_pattern_target (identifier) @typed))
(class_definition superclasses: (argument_list [(identifier) (attribute) (subscript)] @base))

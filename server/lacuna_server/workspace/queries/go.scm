; definitions
(function_declaration name: (identifier) @name body: (block) @body) @function
(method_declaration
  receiver: (parameter_list (parameter_declaration type: [
    (type_identifier) @parent
    (generic_type type: (type_identifier) @parent)
    (pointer_type (type_identifier) @parent)
    (pointer_type (generic_type type: (type_identifier) @parent))]))
  name: (field_identifier) @name body: (block) @body) @function
(type_spec name: (type_identifier) @name type: (struct_type (field_declaration_list) @body)) @class
(type_spec name: (type_identifier) @name) @class
(type_alias name: (type_identifier) @name) @class
(source_file (const_declaration (const_spec name: (identifier) @name) @constant))
(source_file (var_declaration (var_spec name: (identifier) @name) @constant))
(field_declaration name: (_) @name) @field
(field_declaration !name) @field

; imports
(import_spec !name path: (_) @module)
(import_spec name: (package_identifier) @alias path: (_) @module)

; references
(identifier) @name
(type_identifier) @name
(selector_expression operand: (_) @object field: (field_identifier) @member)
(qualified_type package: (_) @object name: (type_identifier) @member)
(parameter_declaration name: (identifier) @typed type: (_) @type)
(field_declaration name: (field_identifier) @typed type: (_) @type)
(var_spec name: (identifier) @typed type: (_) @type)
(short_var_declaration left: (expression_list . (identifier) @typed)
  right: (expression_list . [
    (call_expression function: (_) @type)
    (composite_literal type: (_) @type)
    (unary_expression (composite_literal type: (_) @type))]))

; definitions
(abstract_class_declaration name: (_) @name body: (_) @body) @class
(interface_declaration name: (_) @name body: (_) @body) @class
(enum_declaration name: (_) @name body: (_) @body) @class
(type_alias_declaration name: (_) @name) @class
(function_signature name: (_) @name) @function
(method_signature name: (_) @name) @function
(abstract_method_signature name: (_) @name) @function
(public_field_definition name: (_) @name) @field
(interface_body (property_signature name: (_) @name) @field)
(enum_body (property_identifier) @field)
(enum_body (enum_assignment name: (_) @name) @field)

; imports

; references
(type_identifier) @name
(nested_type_identifier module: (_) @object name: (_) @member)
(required_parameter pattern: (_) @typed type: (type_annotation) @type)
(optional_parameter pattern: (_) @typed type: (type_annotation) @type)
(variable_declarator name: (identifier) @typed type: (type_annotation) @type)
(public_field_definition name: (_) @typed type: (type_annotation) @type)
(public_field_definition name: (_) @typed value: (new_expression constructor: (_) @type))
(extends_clause value: (_) @base)
(implements_clause (_) @base)
(extends_type_clause type: (_) @base)

; definitions
(class_declaration name: (identifier) @name body: (_) @body) @class
(interface_declaration name: (identifier) @name body: (_) @body) @class
(struct_declaration name: (identifier) @name body: (_) @body) @class
(record_declaration name: (identifier) @name body: (_) @body) @class
(record_declaration name: (identifier) @name !body) @class
(enum_declaration name: (identifier) @name body: (_) @body) @class
(delegate_declaration name: (identifier) @name) @class
(method_declaration name: (identifier) @name body: (_) @body) @function
(method_declaration name: (identifier) @name !body) @function
(constructor_declaration name: (identifier) @name body: (_) @body) @function
(property_declaration name: (identifier) @name) @field
(field_declaration (variable_declaration (variable_declarator name: (_) @name))) @field
(enum_member_declaration name: (_) @name) @field

; imports
(using_directive [(identifier) (qualified_name)] @module) @all

; references
(identifier) @name
(member_access_expression expression: (_) @object name: (identifier) @member)
(parameter type: (_) @type name: (identifier) @typed)
(variable_declaration type: (_) @type (variable_declarator name: (identifier) @typed))
(variable_declaration
  (variable_declarator name: (identifier) @typed (object_creation_expression type: (_) @type)))
(property_declaration type: (_) @type name: (identifier) @typed)
(base_list (_) @base)

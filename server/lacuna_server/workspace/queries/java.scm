; definitions
(class_declaration name: (identifier) @name body: (_) @body) @class
(interface_declaration name: (identifier) @name body: (_) @body) @class
(enum_declaration name: (identifier) @name body: (_) @body) @class
(record_declaration name: (identifier) @name body: (_) @body) @class
(annotation_type_declaration name: (identifier) @name body: (_) @body) @class
(method_declaration name: (identifier) @name body: (_) @body) @function
(method_declaration name: (identifier) @name !body) @function
(constructor_declaration name: (identifier) @name body: (_) @body) @function
(field_declaration declarator: (variable_declarator name: (_) @name)) @field
(constant_declaration declarator: (variable_declarator name: (_) @name)) @field
(enum_constant name: (_) @name) @field

; imports
(import_declaration (scoped_identifier scope: (_) @module name: (_) @name))
(import_declaration (scoped_identifier) @module (asterisk)) @all

; references
(identifier) @name
(type_identifier) @name
(method_invocation object: (_) @object name: (identifier) @member)
(field_access object: (_) @object field: (identifier) @member)
(formal_parameter type: (_) @type name: (identifier) @typed)
(local_variable_declaration type: (_) @type declarator: (variable_declarator name: (identifier) @typed))
(field_declaration type: (_) @type declarator: (variable_declarator name: (identifier) @typed))
(local_variable_declaration
  declarator: (variable_declarator name: (identifier) @typed value: (object_creation_expression type: (_) @type)))
(superclass (_) @base)
(super_interfaces (type_list (_) @base))

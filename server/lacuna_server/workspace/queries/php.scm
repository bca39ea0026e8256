; definitions
(function_definition name: (name) @name body: (_) @body) @function
(method_declaration name: (name) @name body: (_) @body) @function
(method_declaration name: (name) @name !body) @function
(class_declaration name: (name) @name body: (_) @body) @class
(interface_declaration name: (name) @name body: (_) @body) @class
(trait_declaration name: (name) @name body: (_) @body) @class
(enum_declaration name: (name) @name body: (_) @body) @class
(program (const_declaration (const_element (name) @name)) @constant)
(declaration_list (const_declaration (const_element (name) @name)) @field)
(property_declaration (property_element (variable_name (name) @name))) @field
(enum_case name: (name) @name) @field

; imports
(namespace_use_clause (qualified_name prefix: (_) @module (name) @name) !alias)
(namespace_use_clause (qualified_name prefix: (_) @module (name) @name) alias: (_) @alias)

; references
(name) @name
(member_access_expression object: (_) @object name: (name) @member)
(member_call_expression object: (_) @object name: (name) @member)
(scoped_call_expression scope: (_) @object name: (name) @member)
(class_constant_access_expression (name) @object (name) @member)
(simple_parameter type: (_) @type name: (variable_name) @typed)
(property_promotion_parameter type: (_) @type name: (variable_name) @typed)
(property_declaration type: (_) @type (property_element (variable_name) @typed))
(assignment_expression left: (_) @typed right: (object_creation_expression (name) @type))
(base_clause (_) @base)
(class_interface_clause (_) @base)

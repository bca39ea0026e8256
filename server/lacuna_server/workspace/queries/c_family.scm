; definitions
(preproc_function_def name: (identifier) @name) @function
(struct_specifier name: (type_identifier) @name body: (_) @body) @class
(union_specifier name: (type_identifier) @name body: (_) @body) @class
(enum_specifier name: (type_identifier) @name body: (_) @body) @class
(type_definition type: (struct_specifier !name body: (_) @body) declarator: (type_identifier) @name) @class
(type_definition declarator: (type_identifier) @name) @class
(type_definition declarator: (function_declarator
  declarator: (parenthesized_declarator (pointer_declarator declarator: (type_identifier) @name)))) @class
(preproc_def name: (identifier) @name value: (_)) @constant
(translation_unit (declaration declarator: (init_declarator declarator: (identifier) @name)) @constant)
(field_declaration) @field
(enumerator name: (_) @name) @field

; imports
(preproc_include path: (_) @module) @all

; references
(identifier) @name
(type_identifier) @name
(field_expression argument: (_) @object field: (field_identifier) @member)
(parameter_declaration type: (_) @type declarator: (_) @typed)
(declaration type: (_) @type declarator: (_) @typed)

; definitions
(class_specifier name: (type_identifier) @name body: (_) @body) @class
(alias_declaration name: (type_identifier) @name) @class
(function_definition
  declarator: [
    (function_declarator declarator: [
      (identifier) @name
      (field_identifier) @name
      (qualified_identifier scope: (_) @parent name: (identifier) @name)])
    (_ (function_declarator declarator: [
      (identifier) @name
      (field_identifier) @name
      (qualified_identifier scope: (_) @parent name: (identifier) @name)]))]
  body: (_) @body) @function
(declaration declarator: [
  (function_declarator declarator: (identifier) @name)
  (_ (function_declarator declarator: (identifier) @name))]) @function
(field_declaration declarator: [
  (function_declarator declarator: (field_identifier) @name)
  (_ (function_declarator declarator: (field_identifier) @name))]) @function

; imports

; references
(qualified_identifier scope: (_) @object name: (_) @member)
(field_declaration type: (_) @type declarator: (field_identifier) @typed)
(base_class_clause [(type_identifier) (qualified_identifier)] @base)

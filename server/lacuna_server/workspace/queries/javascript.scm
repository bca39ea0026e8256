; definitions
(field_definition property: (_) @name) @field

; imports

; references
(class_heritage (_) @base)
(field_definition property: (_) @typed value: (new_expression constructor: (_) @type))

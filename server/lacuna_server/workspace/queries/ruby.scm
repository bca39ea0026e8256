; definitions
(method name: (_) @name body: (_) @body) @function
(method name: (_) @name !body) @function
(singleton_method name: (_) @name body: (_) @body) @function
(class name: (_) @name body: (_) @body) @class
(module name: (_) @name body: (_) @body) @class
(assignment left: (constant) @name) @constant
(class body: (body_statement (call method: (identifier) @_macro) @field) (#match? @_macro "^attr_"))

; imports
(call method: (identifier) @_require arguments: (argument_list (string) @module)
  (#match? @_require "^require")) @all

; references
(identifier) @name
(constant) @name
(call receiver: (_) @object method: (identifier) @member)
(scope_resolution scope: (_) @object name: (constant) @member)
(assignment left: [(identifier) (instance_variable)] @typed
  right: (call receiver: (_) @type method: (identifier) @_new)
  (#eq? @_new "new"))
(superclass (_) @base)

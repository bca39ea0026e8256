;;; Emacs with eglot, which runs one server for a buffer: rass merges two. C-M-i completes.  -*- lexical-binding: t -*-
(require 'eglot)
(add-to-list 'eglot-server-programs
             '((python-mode python-ts-mode) . ("rass" "--log-level" "info" "--" "pylsp" "--" "lacuna" "lsp")))
(add-hook 'python-mode-hook 'eglot-ensure)
(add-hook 'python-ts-mode-hook 'eglot-ensure)

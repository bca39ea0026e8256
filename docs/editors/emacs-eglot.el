;;; Emacs with eglot: C-M-i completes.  -*- lexical-binding: t -*-
(require 'eglot)
(add-to-list 'eglot-server-programs '(python-mode . ("lacuna" "lsp")))
(add-hook 'python-mode-hook 'eglot-ensure)

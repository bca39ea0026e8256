;;; Emacs 30 with lsp-mode 10: C-M-i lists, M-<down> M-RET takes.  -*- lexical-binding: t -*-
(require 'lsp-mode)
(setq lsp-enable-snippet (locate-library "yasnippet"))
(lsp-register-client
 (make-lsp-client :new-connection (lsp-stdio-connection '("lacuna" "lsp"))
                  :activation-fn (lsp-activate-on "python")
                  :server-id 'lacuna
                  :add-on? t))
(add-hook 'python-mode-hook 'lsp)
(add-hook 'python-ts-mode-hook 'lsp)

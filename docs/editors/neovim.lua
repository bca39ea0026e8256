-- Neovim 0.12: grey text, Tab accepts it. Neovim 0.11: CTRL-X CTRL-O opens the menu, CTRL-Y accepts.
vim.lsp.config('lacuna', { cmd = { 'lacuna', 'lsp' }, filetypes = { 'python' } })
vim.lsp.enable('lacuna')
if vim.lsp.inline_completion then
  vim.lsp.inline_completion.enable()
  vim.keymap.set('i', '<Tab>', function() return vim.lsp.inline_completion.get() and '' or '<Tab>' end, { expr = true })
else
  vim.o.completeopt = 'menuone,noinsert,popup'
  vim.api.nvim_create_autocmd('LspAttach', { callback = function(ev)
    vim.lsp.completion.enable(true, ev.data.client_id, ev.buf)
  end })
end

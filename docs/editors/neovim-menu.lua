-- Neovim 0.11 and later: suggestions in the menu that CTRL-X CTRL-O opens; CTRL-Y accepts.
vim.lsp.config('lacuna', {
  cmd = { 'lacuna', 'lsp' },
  filetypes = { 'python' },
  init_options = { completion_channel = 'popup' },
})
vim.lsp.enable('lacuna')
vim.o.completeopt = 'menuone,noinsert,popup'
vim.api.nvim_create_autocmd('LspAttach', { callback = function(ev)
  vim.lsp.completion.enable(true, ev.data.client_id, ev.buf)
end })

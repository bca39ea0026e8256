/** How texts are translated; modules that know nothing of VS Code are given it. */

export type Translate = (message: string, ...values: (string | number)[]) => string;

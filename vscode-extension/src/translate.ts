/** The type of the translation function, for modules that are independent of VS Code. */

export type Translate = (message: string, ...values: (string | number)[]) => string;

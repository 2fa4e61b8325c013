// version.ts - the package's version, as deno.json and package.json have it (a test compares).

/** Version of the package; what is built from it is kept apart from other versions'. */
export const version = "0.1.0";

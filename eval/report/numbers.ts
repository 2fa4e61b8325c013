// numbers.ts - numbers as a person reads them.

/** Three significant digits; a power of ten where there would be many zeros. */
export function shortNumber(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(2);
  return `${Number(value.toPrecision(size >= 100 ? Math.ceil(Math.log10(size)) : 3))}`;
}

/** A share in percent with one digit behind the point; the sign stays on its line. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

/** An integer with a thin space between thousands. */
export function wholeNumber(value: number): string {
  return `${Math.round(value)}`.replaceAll(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** The power of ten `exponent`, in the form 10⁻³. */
export function powerOfTen(exponent: number): string {
  const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  return `10${`${exponent}`.replaceAll(/./g, (sign) => sign === "-" ? "⁻" : digits[Number(sign)])}`;
}

// Numbers as text, one way everywhere.

export function signed(value, decimals) {
  if (value === null || value === undefined) return "not recorded";
  const digits = Math.abs(value).toFixed(decimals);
  if (Number(digits) === 0) return digits;
  return (value < 0 ? "−" : "+") + digits;
}

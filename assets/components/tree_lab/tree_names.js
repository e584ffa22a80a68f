// The words of the token tree's controls, which its captions say too.

export const NAMES = {
  policy: { reference: "Reference", local: "Local fixed point", soft: "Soft optimum", both: "Both optima", descent: "Descent" },
  values: { plain: "V of the policy", soft: "V soft", implied: "V implied" },
  loss: { kappa: "ρ − κ (VIMPO)", rho: "ρ alone (soft)" },
};

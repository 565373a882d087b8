// Light, dark, or as the system has it. A classic script in the head, not a module: it must
// run before the first paint, or a dark page would flash white.
"use strict";

(() => {
  const KEY = "stegcluster.theme";
  const CHOICES = ["system", "light", "dark"];

  const stored = () => {
    try {
      const choice = localStorage.getItem(KEY);
      return CHOICES.includes(choice) ? choice : "system";
    } catch {
      return "system"; // Storage is forbidden: every visit starts with the system's.
    }
  };

  const apply = (choice) => {
    const root = document.documentElement;
    if (choice === "system") delete root.dataset.theme;
    else root.dataset.theme = choice;
    root.dispatchEvent(new CustomEvent("themechange", { detail: choice }));
  };

  globalThis.stegclusterTheme = {
    choices: CHOICES,
    get: stored,
    set(choice) {
      try {
        localStorage.setItem(KEY, choice);
      } catch {
        // Then it lasts as long as this page.
      }
      apply(choice);
    },
  };
  apply(stored());
})();

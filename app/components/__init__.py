"""What the browser draws: one module a component, with its html, css and js in assets/components/<name>/."""

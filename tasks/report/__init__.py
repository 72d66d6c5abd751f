"""The page that compares versions: what it says (`rows`, `headline`, `details`), its pictures, and the page itself."""

"""One loss term per file, and the objective that adds them up."""

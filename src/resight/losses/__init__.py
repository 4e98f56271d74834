"""One loss term a file, and the objective that adds them up."""

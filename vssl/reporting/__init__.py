"""Tables, figures and the page. Fractions become percentages here and nowhere else."""

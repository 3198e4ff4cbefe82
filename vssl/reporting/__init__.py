"""What people read: tables and figures. Fractions become percentages here only."""

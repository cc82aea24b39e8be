"""One module per exercise: its cases, the solution, and the mistakes that it recognises."""

"""Episodes: which classes and images a task is made of, and how these are changed."""

"""What is doubtful in a valid policy: rules by family, their registry, and what suppresses them."""

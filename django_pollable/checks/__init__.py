"""System checks: every setting and every misuse that can be seen before a request comes."""

"""What every part of the package agrees on: records (`models`) and their identities (`identity`)."""

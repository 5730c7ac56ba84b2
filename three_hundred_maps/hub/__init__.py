"""The data set on and off the Hugging Face Hub."""

"""The data set on the Hugging Face Hub and in `datasets`: load, export, publish, download."""

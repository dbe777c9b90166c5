"""Many policies on many scenarios, and how far each is from what could be had."""

"""A HubSpot portal on loopback, for the demo, the tests and users' own jobs."""

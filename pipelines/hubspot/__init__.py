"""The HubSpot API over HTTP, and nothing else."""

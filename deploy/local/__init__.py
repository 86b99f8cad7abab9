"""A whole exchange on one machine: private RabbitMQ and PostgreSQL, the demo, `make up`."""

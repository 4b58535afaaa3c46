//! MySQL and MariaDB servers as a durable store: the ground of every `mysql:` engine.

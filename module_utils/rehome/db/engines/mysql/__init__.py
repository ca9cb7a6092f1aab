"""mysql: MariaDB and MySQL through PyMySQL. Read `dialect` first, then `statements` and `connection`."""

# One Postgres with two databases: the warehouse, and what Dagster remembers.

resource "google_sql_database_instance" "main" {
  name                = "defiyield"
  database_version    = "POSTGRES_16"
  region              = var.region
  deletion_protection = true
  depends_on          = [google_service_networking_connection.database]

  settings {
    tier              = var.database_tier
    edition           = "ENTERPRISE"
    availability_type = "ZONAL"
    disk_type         = "PD_SSD"
    disk_autoresize   = true

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    # The books cannot be fetched again from anywhere: any moment of the last week can be restored.
    backup_configuration {
      enabled                        = true
      start_time                     = "03:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = 30
      }
    }

    insights_config {
      query_insights_enabled = true
    }
  }
}

resource "google_sql_database" "warehouse" {
  name     = "defiyield"
  instance = google_sql_database_instance.main.name
}

resource "google_sql_database" "dagster" {
  name     = "dagster"
  instance = google_sql_database_instance.main.name
}

resource "random_password" "database" {
  length  = 32
  special = false # it stands inside URLs
}

resource "google_sql_user" "pipeline" {
  name     = "defiyield"
  instance = google_sql_database_instance.main.name
  password = random_password.database.result
}

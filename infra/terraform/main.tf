# A small production deployment: one private Postgres for the warehouse and for Dagster, one private host that runs
# webserver and daemon, and the secrets they read. Nothing has a public address; people come in through an IAP tunnel.

terraform {
  required_version = ">= 1.6"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

resource "google_service_account" "runner" {
  account_id   = "defiyield-runner"
  display_name = "DefiYield webserver and daemon"
}

resource "google_compute_network" "private" {
  name                    = "defiyield"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "private" {
  name                     = "defiyield"
  network                  = google_compute_network.private.id
  ip_cidr_range            = "10.20.0.0/24"
  private_ip_google_access = true
}

# The host fetches prices and pools: out through NAT, nothing in but the IAP tunnel.
resource "google_compute_router" "out" {
  name    = "defiyield"
  network = google_compute_network.private.id
}

resource "google_compute_router_nat" "out" {
  name                               = "defiyield"
  router                             = google_compute_router.out.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

resource "google_compute_firewall" "iap" {
  name          = "defiyield-iap"
  network       = google_compute_network.private.id
  source_ranges = ["35.235.240.0/20"]
  target_tags   = ["defiyield"]

  allow {
    protocol = "tcp"
    ports    = ["22", "3000"]
  }
}

resource "google_compute_global_address" "database" {
  name          = "defiyield-database"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = google_compute_network.private.id
}

resource "google_service_networking_connection" "database" {
  network                 = google_compute_network.private.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database.name]
}

resource "google_sql_database_instance" "postgres" {
  name                = "defiyield"
  database_version    = "POSTGRES_16"
  deletion_protection = true
  depends_on          = [google_service_networking_connection.database]

  settings {
    tier = var.database_tier

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.private.id
    }

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
    }
  }
}

resource "google_sql_database" "warehouse" {
  name     = "warehouse"
  instance = google_sql_database_instance.postgres.name
}

resource "google_sql_database" "dagster" {
  name     = "dagster"
  instance = google_sql_database_instance.postgres.name
}

resource "random_password" "database" {
  length  = 32
  special = false
}

resource "google_sql_user" "runner" {
  name     = "defiyield"
  instance = google_sql_database_instance.postgres.name
  password = random_password.database.result
}

locals {
  server = "defiyield:${random_password.database.result}@${google_sql_database_instance.postgres.private_ip_address}"
  connections = {
    DEFIYIELD_WAREHOUSE  = "postgresql://${local.server}/warehouse"
    DAGSTER_POSTGRES_URL = "postgresql+psycopg2://${local.server}/dagster"
  }
}

resource "google_secret_manager_secret" "setting" {
  for_each  = setunion(keys(local.connections), var.optional_secrets)
  secret_id = each.key

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_version" "connection" {
  for_each    = nonsensitive(toset(keys(local.connections)))
  secret      = google_secret_manager_secret.setting[each.key].id
  secret_data = local.connections[each.key]
}

resource "google_secret_manager_secret_iam_member" "runner" {
  for_each  = google_secret_manager_secret.setting
  secret_id = each.value.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.runner.member
}

resource "google_project_iam_member" "runner" {
  for_each = toset(["roles/artifactregistry.reader", "roles/logging.logWriter"])
  project  = var.project
  role     = each.key
  member   = google_service_account.runner.member
}

resource "google_compute_instance" "host" {
  name         = "defiyield"
  machine_type = var.machine_type
  zone         = "${var.region}-b"
  tags         = ["defiyield"]

  boot_disk {
    initialize_params {
      image = "projects/cos-cloud/global/images/family/cos-stable"
      size  = 30
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.private.id
  }

  service_account {
    email  = google_service_account.runner.email
    scopes = ["cloud-platform"]
  }

  metadata = {
    user-data = templatefile("${path.module}/host.yaml.tftpl", {
      image   = var.image
      project = var.project
      secrets = join(" ", sort(setunion(keys(local.connections), var.optional_secrets)))
    })
  }

  shielded_instance_config {
    enable_secure_boot = true
  }
}

# One machine runs the code server, the daemon and the webserver. It keeps nothing: replacing it loses only a run under way,
# which the new one's daemon fails and starts again.

resource "google_service_account" "pipeline" {
  account_id   = "defiyield"
  display_name = "Runs the DefiYield pipeline"
}

resource "google_project_iam_member" "logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.pipeline.member
}

resource "google_compute_instance" "main" {
  name                      = "defiyield"
  machine_type              = var.machine_type
  zone                      = var.zone
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = "cos-cloud/cos-stable"
      size  = 30
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.main.id
  }

  service_account {
    email  = google_service_account.pipeline.email
    scopes = ["cloud-platform"] # what it may do is said by its roles
  }

  shielded_instance_config {
    enable_secure_boot = true
  }

  metadata = {
    enable-oslogin         = "TRUE"
    google-logging-enabled = "true"

    user-data = templatefile("${path.module}/cloud-init.yaml.tftpl", {
      image    = var.image
      registry = "${var.region}-docker.pkg.dev"
      bucket   = google_storage_bucket.main.name
      project  = var.project
      secrets  = sort(tolist(local.secret_names))
    })
  }

  depends_on = [
    google_compute_router_nat.main,
    google_secret_manager_secret_version.database_url,
    google_secret_manager_secret_iam_member.pipeline,
  ]
}

resource "google_iap_tunnel_instance_iam_member" "operators" {
  for_each = toset(var.operators)
  instance = google_compute_instance.main.name
  zone     = var.zone
  role     = "roles/iap.tunnelResourceAccessor"
  member   = each.value
}

resource "google_compute_instance_iam_member" "operators" {
  for_each      = toset(var.operators)
  instance_name = google_compute_instance.main.name
  zone          = var.zone
  role          = "roles/compute.osLogin"
  member        = each.value
}

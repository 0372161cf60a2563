output "open_the_ui" {
  description = "Run this, then open http://127.0.0.1:3000"
  value       = "gcloud compute ssh ${google_compute_instance.main.name} --project ${var.project} --zone ${var.zone} --tunnel-through-iap -- -N -L 3000:127.0.0.1:3000"
}

output "images" {
  description = "Push the image here"
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "bucket" {
  description = "Logs of runs"
  value       = google_storage_bucket.main.name
}

output "open_ui" {
  description = "Command that tunnels Dagster's UI to this machine."
  value       = "gcloud compute start-iap-tunnel ${google_compute_instance.host.name} 3000 --local-host-port=localhost:3000 --zone=${google_compute_instance.host.zone}"
}

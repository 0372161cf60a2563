# URLs with passwords are written by Terraform; keys and the webhook are filled in by operators:
#   printf %s VALUE | gcloud secrets versions add ETHERSCAN_API_KEY --data-file=-

locals {
  login = "${google_sql_user.pipeline.name}:${random_password.database.result}"
  host  = google_sql_database_instance.main.private_ip_address

  database_urls = {
    DEFIYIELD_WAREHOUSE  = "postgresql://${local.login}@${local.host}/${google_sql_database.warehouse.name}?sslmode=require"
    DAGSTER_POSTGRES_URL = "postgresql+psycopg2://${local.login}@${local.host}/${google_sql_database.dagster.name}?sslmode=require"
  }

  secret_names = setunion(var.secrets, ["DEFIYIELD_WAREHOUSE", "DAGSTER_POSTGRES_URL"])
}

resource "google_secret_manager_secret" "all" {
  for_each  = local.secret_names
  secret_id = each.value

  replication {
    auto {}
  }

  depends_on = [google_project_service.used]
}

resource "google_secret_manager_secret_version" "database_url" {
  for_each    = toset(["DEFIYIELD_WAREHOUSE", "DAGSTER_POSTGRES_URL"])
  secret      = google_secret_manager_secret.all[each.value].id
  secret_data = local.database_urls[each.value]
}

resource "google_secret_manager_secret_iam_member" "pipeline" {
  for_each  = google_secret_manager_secret.all
  secret_id = each.value.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.pipeline.member
}

//! The objects that make the k6 operator run a level in a cluster: script, plan and `TestRun`. Pure.
//!
//! The fields are those of the operator's `k6.io/v1alpha1`:
//! <https://github.com/grafana/k6-operator/blob/main/api/v1alpha1/testrun_types.go>

use super::k6::LEVEL;
use serde_json::{Value, json};

/// Where runners find the plan.
const PLAN: &str = "/nsys/plan.json";

/// What a level needs in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Objects {
    /// The script.
    pub(super) script: Value,
    /// The plan, which holds a token.
    pub(super) plan: Value,
    /// What the operator acts on.
    pub(super) run: Value,
}

impl Objects {
    /// The objects of a level, all of one name; `parallelism` runners take equal segments of it.
    #[must_use]
    pub(super) fn new(name: &str, namespace: &str, image: &str, parallelism: u32, plan: &Value) -> Self {
        let mut told = plan.clone();
        // A pod's log is all that it leaves.
        told["summary"] = json!("stdout");
        let meta = json!({
            "name": name, "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "nsys", "app.kubernetes.io/component": "load-test"},
        });
        let runner = json!({
            "image": image,
            "env": [
                {"name": "NSYS_PLAN", "value": PLAN},
                {"name": "K6_NO_USAGE_REPORT", "value": "true"},
            ],
            "volumes": [{"name": "plan", "secret": {"secretName": name}}],
            "volumeMounts": [{"name": "plan", "mountPath": "/nsys", "readOnly": true}],
        });
        Self {
            script: json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"level.js": LEVEL}}),
            plan: json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque",
                "stringData": {"plan.json": told.to_string()},
            }),
            run: json!({
                "apiVersion": "k6.io/v1alpha1", "kind": "TestRun", "metadata": meta,
                "spec": {
                    "parallelism": parallelism,
                    "quiet": "true",
                    "arguments": "--no-color",
                    "script": {"configMap": {"name": name, "file": "level.js"}},
                    "runner": runner,
                },
            }),
        }
    }

    /// All of them, in the order in which they are needed.
    #[must_use]
    pub(super) const fn all(&self) -> [&Value; 3] {
        [&self.script, &self.plan, &self.run]
    }
}

/// Labels of the runners' pods.
#[must_use]
pub(super) fn runners(name: &str) -> String {
    format!("k6_cr={name},runner=true")
}

/// A name that Kubernetes takes: lower case letters, digits and dashes.
#[must_use]
pub(super) fn name_of(prefix: &str) -> String {
    let plain =
        prefix.chars().map(|one| if one.is_ascii_alphanumeric() { one.to_ascii_lowercase() } else { '-' });
    format!("nsys-{}", plain.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_in_a_secret_alone() {
        let plan = json!({"token": "sesame", "windows": []});
        let objects = Objects::new("nsys-x-l1", "load", "grafana/k6", 3, &plan);
        assert!(objects.plan.to_string().contains("sesame"));
        assert!(
            !objects.run.to_string().contains("sesame") && !objects.script.to_string().contains("sesame")
        );
        assert_eq!(objects.run["spec"]["parallelism"], 3);
        assert!(objects.plan["stringData"]["plan.json"].as_str().unwrap().contains(r#""summary":"stdout""#));
    }

    #[test]
    fn names_are_ones_that_kubernetes_takes() {
        assert_eq!(name_of("find-max-20270115_080001-L12.0"), "nsys-find-max-20270115-080001-l12-0");
    }
}

"""The wire: AdmissionReview v1 and v1beta1 in and out, and JSON Patch operations. Pure; decides nothing."""

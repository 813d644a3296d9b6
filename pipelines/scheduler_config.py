"""A model's scheduler_config.json, checked before any scheduler is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from xattn.errors import BadModel, Unsupported

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("leading", "trailing", "linspace"),
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "interpolation_type": ("linear", "log_linear"),
    "timestep_type": ("discrete", "continuous"),
    "final_sigmas_type": ("zero", "sigma_min"),
}
_SWITCHES = (
    "clip_sample",
    "set_alpha_to_one",
    "thresholding",
    "rescale_betas_zero_snr",
    "lower_order_final",
    "euler_at_final",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
)
_WHOLE = ("num_train_timesteps", "original_inference_steps")
_FLOWS = ("use_flow_sigmas", "use_dynamic_shifting")


def checked(config: Mapping[str, object]) -> dict[str, object]:
    """The config's fields that say something about the diffusion. Raises BadModel, Unsupported.

    Fields that diffusers notes as mere defaults of the class that wrote the file are left out, so that another class
    takes its own defaults; that is what diffusers' `from_config` does.
    """
    unsaid = config.get("_use_default_values") or ()
    left_out = set(map(str, unsaid)) if isinstance(unsaid, list | tuple | set | frozenset) else set()
    fields = {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and key not in left_out and value is not None
    }
    if "Flow" in str(config.get("_class_name", "")) or fields.get("prediction_type") == "flow_prediction":
        raise _flow()
    if any(fields.get(key) for key in _FLOWS):
        raise _flow()
    if fields.get("variance_type") is not None:
        raise Unsupported("The model's scheduler_config.json asks for a learned variance, which none here reads.")
    _check_fields(fields)
    _check_betas(fields)
    if fields.get("rescale_betas_zero_snr") and fields.get("prediction_type", "epsilon") == "epsilon":
        # Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed", section 3.3
        raise BadModel(
            "The model's scheduler_config.json has rescale_betas_zero_snr with prediction_type epsilon, but at zero "
            'signal the noise says nothing about the picture; it must be "v_prediction" or "sample".'
        )
    if fields.get("use_beta_sigmas") and find_spec("scipy") is None:
        raise Unsupported("The model's scheduler_config.json has use_beta_sigmas; pip install scipy for it.")
    return fields


def _flow() -> Unsupported:
    return Unsupported(
        "The model's scheduler_config.json is a flow-matching model's, but the schedulers here are for diffusion "
        "models such as Stable Diffusion 1, 2 and XL."
    )


def _check_fields(fields: Mapping[str, object]) -> None:
    for key, known in _CHOICES.items():
        if key in fields and fields[key] not in known:
            raise _bad(key, fields[key], f"one of {', '.join(known)}")
    for key in _SWITCHES:
        if key in fields and not isinstance(fields[key], bool):
            raise _bad(key, fields[key], "true or false")
    for key in _WHOLE:
        if key in fields and not _is_whole(fields[key], 1):
            raise _bad(key, fields[key], "a whole number of at least 1")
    if "steps_offset" in fields and not _is_whole(fields["steps_offset"], 0):
        raise _bad("steps_offset", fields["steps_offset"], "a whole number of at least 0")


def _check_betas(fields: Mapping[str, object]) -> None:
    for key in ("beta_start", "beta_end"):
        value = fields.get(key)
        if value is not None and not _is_beta(value):
            raise _bad(key, value, "a number between 0 and 1")
    trained = fields.get("trained_betas")
    if trained is None:
        return
    steps = fields.get("num_train_timesteps", 1000)
    if not isinstance(trained, list | tuple) or len(trained) != steps or not all(map(_is_beta, trained)):
        raise _bad("trained_betas", "of another form", f"a list of {steps} numbers between 0 and 1")


def _is_whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_beta(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1


def _bad(key: str, got: object, expected: str) -> BadModel:
    return BadModel(f"In the model's scheduler_config.json {key} is {got!r}, but it must be {expected}.")

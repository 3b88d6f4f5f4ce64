"""The engine as a model of lmms-eval, which then runs its own tasks over it.

    pip install longwatch lmms-eval
    python -m lmms_eval --model longwatch --model_args pretrained=nano,fps=1 --tasks mlvu_dev

*Decision*: an entry point of ours, and no dependency on lmms-eval. *Because* it brings some forty
packages that nothing else here needs; `manifest` is the only module that it looks for, and both
modules import it themselves.
"""
